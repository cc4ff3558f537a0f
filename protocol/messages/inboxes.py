"""One closed union for each inbox, so that `match` can be checked to be exhaustive."""

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

PoolInbox = (
    JobAsked
    | SourceKnown
    | SourceOffered
    | JobStopAsked
    | JobForgotten
    | DispatcherReady
    | WorkerReady
    | ProcessLost
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
    | PriorsTold
    | ProcessReady
    | SourceLeft
    | JobLimited
    | RunsTold
    | JobEnded
    | Ticked
)
DispatcherInbox = (
    SourceJoined
    | SourceLost
    | JobStopAsked
    | SourceProbed
    | SourceFailed
    | LeaseFinished
    | LeaseReleased
    | SourceMeasured
    | SourceSlowed
    | SourceStalled
    | ChunksVerified
    | SourceChanged
    | TargetOpened
    | TargetRead
    | TargetRefused
    | ChunksStored
    | ChunksRepeated
    | ChunkDisputed
    | SlotSpoiled
    | DiskFailed
    | TargetSealed
    | SealRefused
    | TargetClosed
    | TurnCame
    | PlaceTaken
    | PlaceRefused
    | PeerFailed
    | SessionChanged
    | ProcessReady
    | NewsAsked
    | SourceNamed
    | SourcesExpected
    | SourceLeft
    | JobLimited
    | RunsAsked
    | Ticked
)
WorkerInbox = (
    ProbeAsked
    | LeaseGranted
    | LeaseExtended
    | LeaseTrimmed
    | LeaseRevoked
    | RateCapped
    | RideContinued
    | ConnectionHanded
    | JobForgotten
)
ShelfInbox = SlotFreed | SlotsGranted | SlotsAsked | TargetStands | ShelfTidied
MemoryInbox = PriorsAsked | PeerRode | PeerFaulted | PeerStopped | PeersQueried | StopsQueried
WatchdogInbox = JobWatched | TotalLimited | RideProgressed | RideEnded | JobForgotten | Ticked
AssemblerInbox = (
    TargetWanted
    | ValidatorSeen
    | SlotFilled
    | SlotsAsked
    | SizeLearned
    | SealWanted
    | TargetCloseAsked
    | JobForgotten
    | CommitDue
    | WorkEnded
    | TargetUnwanted
)
SessionInbox = (
    SearchAsked
    | SearchLeft
    | UserAsked
    | FilesAsked
    | PlaceAsked
    | PlaceLeft
    | TurnTaken
    | TurnDeclined
    | ConnectionEnded
    | FileFinished
    | LoginWanted
    | LogoutWanted
    | JobForgotten
    | Ticked
)
RootInbox = (
    DispatcherWanted | WorkerWanted | WorkerUnwanted | JobForgotten | PingAsked | StopAsked | ActorDied | LogLevelSet
)
FrontInbox = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | SourceFound
    | RunsTold
    | ProcessReady
    | ProcessLost
    | PingAnswered
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
)
KeeperInbox = (
    BookmarkSet
    | BookmarkQueried
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
    | BookmarkQueried
    | BookmarkSet
    | EventsWatched
    | LimitSet
    | KeeperConfigured
    | SourceFound
    | RunsTold
    | JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | JobNoted
    | JobEnded
    | ProcessLost
    | ProcessReady
    | SessionChanged
    | TargetRemoved
    | CommitDue
    | Ticked
)
DeskInbox = (
    HealthTold
    | Answered
    | Refused
    | EventHappened
    | RunsTold
    | SearchHit
    | SearchEnded
    | UserTold
    | FilesTold
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | DeskConfigured
)
