"""The union of everything that can travel."""

from protocol.messages.job_commands import (
    Answered,
    BookmarkQueried,
    BookmarkSet,
    CountsQueried,
    DeskConfigured,
    EndedRemoved,
    EventHappened,
    EventsQueried,
    EventsWatched,
    JobCancelled,
    JobDeleted,
    JobLimited,
    JobPaused,
    JobQueried,
    JobResumed,
    JobRetried,
    JobsQueried,
    JobTuned,
    KeeperConfigured,
    LimitSet,
    ManifestQueried,
    OrderPlaced,
    Refused,
    RunsAsked,
    RunsTold,
    SourceDropped,
    SourceFound,
    SourceLeft,
    SourcesAdded,
    TargetRemoved,
    TargetUnwanted,
    TimelineQueried,
    TotalLimited,
    WhyQueried,
)
from protocol.messages.jobs import (
    DispatcherReady,
    DispatcherWanted,
    JobAsked,
    JobForgotten,
    JobStopAsked,
    NewsAsked,
    SourceJoined,
    SourceKnown,
    SourceLost,
    SourceNamed,
    SourceOffered,
    SourcesExpected,
    WorkerReady,
    WorkerUnwanted,
    WorkerWanted,
)
from protocol.messages.leases import (
    JobWatched,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    ProbeAsked,
    RateCapped,
    RideContinued,
    RideEnded,
    RideProgressed,
    SourceFailed,
    SourceMeasured,
    SourceProbed,
    SourceSlowed,
    SourceStalled,
)
from protocol.messages.progress import (
    ChunkArrived,
    ChunkMapDrawn,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    SourceProgressed,
)
from protocol.messages.soulseek import (
    ConnectionEnded,
    ConnectionHanded,
    FileFinished,
    FilesAsked,
    FilesTold,
    LoginWanted,
    LogoutWanted,
    PeerFailed,
    PeerFaulted,
    PeerRode,
    PeersQueried,
    PeerStopped,
    PlaceAsked,
    PlaceLeft,
    PlaceRefused,
    PlaceTaken,
    PriorsAsked,
    PriorsTold,
    SearchAsked,
    SearchEnded,
    SearchHit,
    SearchLeft,
    SessionChanged,
    StopsQueried,
    TurnCame,
    TurnDeclined,
    TurnTaken,
    UserAsked,
    UserTold,
)
from protocol.messages.storage import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    CommitDue,
    DiskFailed,
    SealRefused,
    SealWanted,
    ShelfTidied,
    SizeLearned,
    SlotFilled,
    SlotFreed,
    SlotsAsked,
    SlotsGranted,
    SlotSpoiled,
    SourceChanged,
    TargetCloseAsked,
    TargetClosed,
    TargetOpened,
    TargetRead,
    TargetRefused,
    TargetSealed,
    TargetStands,
    TargetWanted,
    ValidatorSeen,
    WorkEnded,
)
from protocol.messages.supervision import (
    ActorDied,
    HealthTold,
    LogLevelSet,
    PingAnswered,
    PingAsked,
    ProcessLost,
    ProcessReady,
    StopAsked,
    Ticked,
)

Message = (
    JobAsked
    | JobStopAsked
    | DispatcherWanted
    | WorkerWanted
    | SourceJoined
    | SourceLost
    | JobForgotten
    | ProbeAsked
    | SourceProbed
    | SourceFailed
    | LeaseGranted
    | LeaseExtended
    | LeaseTrimmed
    | LeaseRevoked
    | LeaseFinished
    | LeaseReleased
    | RideProgressed
    | RideEnded
    | SourceMeasured
    | SourceSlowed
    | SourceStalled
    | RateCapped
    | JobWatched
    | RideContinued
    | TargetWanted
    | ChunksVerified
    | SourceChanged
    | TargetOpened
    | TargetRefused
    | ValidatorSeen
    | SlotFilled
    | SlotFreed
    | ChunksStored
    | ChunksRepeated
    | ChunkDisputed
    | SlotSpoiled
    | DiskFailed
    | SizeLearned
    | SealWanted
    | TargetSealed
    | SealRefused
    | TargetCloseAsked
    | TargetClosed
    | CommitDue
    | JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | ProcessReady
    | ProcessLost
    | PingAsked
    | PingAnswered
    | StopAsked
    | ActorDied
    | Ticked
    | DispatcherReady
    | WorkerReady
    | SourceKnown
    | SourceOffered
    | SearchAsked
    | SearchHit
    | SearchEnded
    | PlaceAsked
    | PlaceLeft
    | PlaceTaken
    | PlaceRefused
    | TurnCame
    | TurnTaken
    | TurnDeclined
    | ConnectionHanded
    | ConnectionEnded
    | PeerFailed
    | SessionChanged
    | FileFinished
    | PriorsAsked
    | PriorsTold
    | PeerRode
    | PeerFaulted
    | PeerStopped
    | SlotsAsked
    | SlotsGranted
    | TargetStands
    | TargetRead
    | Answered
    | Refused
    | OrderPlaced
    | JobPaused
    | JobResumed
    | JobCancelled
    | JobRetried
    | JobDeleted
    | EndedRemoved
    | JobTuned
    | SourcesAdded
    | SourceDropped
    | JobsQueried
    | JobQueried
    | WhyQueried
    | TimelineQueried
    | ManifestQueried
    | EventsQueried
    | CountsQueried
    | EventsWatched
    | EventHappened
    | LimitSet
    | KeeperConfigured
    | JobLimited
    | TotalLimited
    | SourceLeft
    | SourceFound
    | RunsAsked
    | RunsTold
    | UserAsked
    | UserTold
    | FilesAsked
    | FilesTold
    | PeersQueried
    | StopsQueried
    | LogLevelSet
    | DeskConfigured
    | BookmarkSet
    | BookmarkQueried
    | HealthTold
    | NewsAsked
    | WorkerUnwanted
    | SearchLeft
    | TargetUnwanted
    | TargetRemoved
    | SourcesExpected
    | LoginWanted
    | LogoutWanted
    | WorkEnded
    | ShelfTidied
    | SourceNamed
)
"""Anything that can travel."""


# The tag table: a message's number on the wire is its place here. The table only ever grows at its end.

TAGS: tuple[type, ...] = (
    JobAsked,
    JobStopAsked,
    DispatcherWanted,
    WorkerWanted,
    SourceJoined,
    SourceLost,
    JobForgotten,
    ProbeAsked,
    SourceProbed,
    SourceFailed,
    LeaseGranted,
    LeaseExtended,
    LeaseTrimmed,
    LeaseRevoked,
    LeaseFinished,
    LeaseReleased,
    RideProgressed,
    RideEnded,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    RateCapped,
    JobWatched,
    RideContinued,
    TargetWanted,
    ChunksVerified,
    SourceChanged,
    TargetOpened,
    TargetRefused,
    ValidatorSeen,
    SlotFilled,
    SlotFreed,
    ChunksStored,
    ChunksRepeated,
    ChunkDisputed,
    SlotSpoiled,
    DiskFailed,
    SizeLearned,
    SealWanted,
    TargetSealed,
    SealRefused,
    TargetCloseAsked,
    TargetClosed,
    CommitDue,
    JobOpened,
    JobProgressed,
    SourceProgressed,
    ChunkMapDrawn,
    ChunkArrived,
    JobNoted,
    JobEnded,
    ProcessReady,
    ProcessLost,
    PingAsked,
    PingAnswered,
    StopAsked,
    ActorDied,
    Ticked,
    DispatcherReady,
    WorkerReady,
    SourceOffered,
    SearchAsked,
    SearchHit,
    SearchEnded,
    PlaceAsked,
    PlaceLeft,
    PlaceTaken,
    PlaceRefused,
    TurnCame,
    TurnTaken,
    TurnDeclined,
    ConnectionHanded,
    ConnectionEnded,
    PeerFailed,
    SessionChanged,
    FileFinished,
    PriorsAsked,
    PriorsTold,
    PeerRode,
    PeerFaulted,
    PeerStopped,
    SlotsAsked,
    SlotsGranted,
    TargetStands,
    TargetRead,
    Answered,
    Refused,
    OrderPlaced,
    JobPaused,
    JobResumed,
    JobCancelled,
    JobRetried,
    JobDeleted,
    EndedRemoved,
    JobTuned,
    SourcesAdded,
    SourceDropped,
    JobsQueried,
    JobQueried,
    WhyQueried,
    TimelineQueried,
    ManifestQueried,
    EventsQueried,
    CountsQueried,
    EventsWatched,
    EventHappened,
    LimitSet,
    KeeperConfigured,
    JobLimited,
    TotalLimited,
    SourceLeft,
    SourceFound,
    RunsAsked,
    RunsTold,
    UserAsked,
    UserTold,
    FilesAsked,
    FilesTold,
    PeersQueried,
    StopsQueried,
    LogLevelSet,
    DeskConfigured,
    BookmarkSet,
    BookmarkQueried,
    HealthTold,
    NewsAsked,
    WorkerUnwanted,
    SearchLeft,
    TargetUnwanted,
    TargetRemoved,
    SourceKnown,
    SourcesExpected,
    LoginWanted,
    LogoutWanted,
    WorkEnded,
    ShelfTidied,
    SourceNamed,
)
"""Tag = index. Append only."""
