"""One closed union for each inbox, so that `match` can be checked to be exhaustive."""

from protocol.messages.jobs import (
    DispatcherReady,
    DispatcherWanted,
    JobAsked,
    JobForgotten,
    JobStopAsked,
    SourceJoined,
    SourceLost,
    SourceOffered,
    WorkerReady,
    WorkerWanted,
)
from protocol.messages.peers import PeerFaulted, PeerRode, PeerStopped, PriorsAsked, PriorsTold
from protocol.messages.processes import (
    ActorDied,
    PingAnswered,
    PingAsked,
    ProcessLost,
    ProcessReady,
    StopAsked,
    Ticked,
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
from protocol.messages.rides import (
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
from protocol.messages.soulseek import (
    ConnectionEnded,
    ConnectionHanded,
    FileFinished,
    PeerFailed,
    PlaceAsked,
    PlaceLeft,
    PlaceRefused,
    PlaceTaken,
    SearchAsked,
    SearchEnded,
    SearchHit,
    SessionChanged,
    TurnCame,
    TurnDeclined,
    TurnTaken,
)
from protocol.messages.store import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    CommitDue,
    DiskFailed,
    SealRefused,
    SealWanted,
    SizeLearned,
    SlotFilled,
    SlotFreed,
    SlotsAsked,
    SlotsGranted,
    SlotSpoiled,
    SourceChanged,
    TargetCloseAsked,
    TargetClosed,
    TargetNamed,
    TargetOpened,
    TargetRead,
    TargetRefused,
    TargetSealed,
    TargetStands,
    TargetWanted,
    ValidatorSeen,
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
    | TargetNamed
    | TargetRead
)
"""Anything that can travel."""

PoolInbox = (
    JobAsked
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
    | TargetNamed
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
ShelfInbox = SlotFreed | SlotsGranted | SlotsAsked | TargetStands
MemoryInbox = PriorsAsked | PeerRode | PeerFaulted | PeerStopped
WatchdogInbox = JobWatched | RideProgressed | RideEnded | JobForgotten | Ticked
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
)
SessionInbox = (
    SearchAsked
    | PlaceAsked
    | PlaceLeft
    | TurnTaken
    | TurnDeclined
    | ConnectionEnded
    | FileFinished
    | JobForgotten
    | Ticked
)
RootInbox = DispatcherWanted | WorkerWanted | JobForgotten | PingAsked | StopAsked | ActorDied
FrontInbox = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | ProcessReady
    | ProcessLost
    | PingAnswered
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
)
