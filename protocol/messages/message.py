"""The union of everything that can travel."""

from protocol.messages.job_commands import (
    AddSources,
    CancelJob,
    ConfigureGateway,
    ConfigureJobManager,
    ContributorsListed,
    CreateJob,
    DeleteJob,
    DropSource,
    EventOccurred,
    ExplainJob,
    GetBookmark,
    GetCounts,
    GetJob,
    GetManifest,
    GetTimeline,
    HideEndedJobs,
    LimitJob,
    LimitTotal,
    ListContributors,
    ListEvents,
    ListJobs,
    PartFileRemoved,
    PauseJob,
    RemovePartFile,
    RequestAnswered,
    RequestRefused,
    ResumeJob,
    RetryJob,
    SetBookmark,
    SetTotalLimit,
    SourceDisabled,
    SourceFound,
    UpdateJob,
    WatchEvents,
)
from protocol.messages.jobs import (
    DispatcherReady,
    JobClosed,
    OfferSource,
    ResendState,
    RestoreSourceCounts,
    SourceJoined,
    SourceLost,
    SourceNamed,
    SourcesExpected,
    StartDispatcher,
    StartJob,
    StartWorker,
    StopJob,
    StopWorker,
    WorkerReady,
)
from protocol.messages.leases import (
    CapRate,
    ContinueTransfer,
    LeaseExtended,
    LeaseFinished,
    LeaseGranted,
    LeaseReleased,
    LeaseRevoked,
    LeaseTrimmed,
    MonitorJob,
    ProbeSource,
    SourceFailed,
    SourceMeasured,
    SourceProbed,
    SourceSlowed,
    SourceStalled,
    TransferEnded,
    TransferProgressed,
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
    AcceptUpload,
    BrowseUser,
    CancelSearch,
    ConnectionClosed,
    ConnectionReady,
    DeclineUpload,
    DequeueFile,
    EnqueueFile,
    EnqueueRefused,
    FileFinished,
    FilesListed,
    GetUser,
    ListPeers,
    ListStops,
    LoadPeerHistory,
    LogIn,
    LogOut,
    PeerDelivered,
    PeerFaulted,
    PeerHistoryLoaded,
    PeerStopped,
    QueuePlaceChanged,
    SearchEnded,
    SearchHit,
    SessionChanged,
    StartSearch,
    UploadFailed,
    UploadOffered,
    UserDescribed,
)
from protocol.messages.storage import (
    BackgroundWorkEnded,
    ChunkDisputed,
    ChunksRepeated,
    ChunksStored,
    ChunksVerified,
    ClaimSlots,
    ClosePartFile,
    CommitRecords,
    DiskFailed,
    FileSealed,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    PartFileReopened,
    SealFile,
    SealRefused,
    SizeLearned,
    SlotFilled,
    SlotFreed,
    SlotsGranted,
    SlotSpoiled,
    SourceChanged,
    TrimSlots,
    ValidatorSeen,
)
from protocol.messages.supervision import (
    ActorDied,
    HealthReported,
    Ping,
    Pong,
    ProcessLost,
    ProcessReady,
    SetLogLevel,
    StopProcess,
    Ticked,
)

Message = (
    StartJob
    | StopJob
    | StartDispatcher
    | StartWorker
    | SourceJoined
    | SourceLost
    | JobClosed
    | ProbeSource
    | SourceProbed
    | SourceFailed
    | LeaseGranted
    | LeaseExtended
    | LeaseTrimmed
    | LeaseRevoked
    | LeaseFinished
    | LeaseReleased
    | TransferProgressed
    | TransferEnded
    | SourceMeasured
    | SourceSlowed
    | SourceStalled
    | CapRate
    | MonitorJob
    | ContinueTransfer
    | OpenPartFile
    | ChunksVerified
    | SourceChanged
    | PartFileReady
    | PartFileRefused
    | ValidatorSeen
    | SlotFilled
    | SlotFreed
    | ChunksStored
    | ChunksRepeated
    | ChunkDisputed
    | SlotSpoiled
    | DiskFailed
    | SizeLearned
    | SealFile
    | FileSealed
    | SealRefused
    | ClosePartFile
    | PartFileClosed
    | CommitRecords
    | JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | ProcessReady
    | ProcessLost
    | Ping
    | Pong
    | StopProcess
    | ActorDied
    | Ticked
    | DispatcherReady
    | WorkerReady
    | RestoreSourceCounts
    | OfferSource
    | StartSearch
    | SearchHit
    | SearchEnded
    | EnqueueFile
    | DequeueFile
    | QueuePlaceChanged
    | EnqueueRefused
    | UploadOffered
    | AcceptUpload
    | DeclineUpload
    | ConnectionReady
    | ConnectionClosed
    | UploadFailed
    | SessionChanged
    | FileFinished
    | LoadPeerHistory
    | PeerHistoryLoaded
    | PeerDelivered
    | PeerFaulted
    | PeerStopped
    | ClaimSlots
    | SlotsGranted
    | PartFileReopened
    | PartFileRehashed
    | RequestAnswered
    | RequestRefused
    | CreateJob
    | PauseJob
    | ResumeJob
    | CancelJob
    | RetryJob
    | DeleteJob
    | HideEndedJobs
    | UpdateJob
    | AddSources
    | DropSource
    | ListJobs
    | GetJob
    | ExplainJob
    | GetTimeline
    | GetManifest
    | ListEvents
    | GetCounts
    | WatchEvents
    | EventOccurred
    | SetTotalLimit
    | ConfigureJobManager
    | LimitJob
    | LimitTotal
    | SourceDisabled
    | SourceFound
    | ListContributors
    | ContributorsListed
    | GetUser
    | UserDescribed
    | BrowseUser
    | FilesListed
    | ListPeers
    | ListStops
    | SetLogLevel
    | ConfigureGateway
    | SetBookmark
    | GetBookmark
    | HealthReported
    | ResendState
    | StopWorker
    | CancelSearch
    | RemovePartFile
    | PartFileRemoved
    | SourcesExpected
    | LogIn
    | LogOut
    | BackgroundWorkEnded
    | TrimSlots
    | SourceNamed
)
"""Anything that can travel."""


# The tag table: a message's number on the wire is its place here. The table only ever grows at its end.

TAGS: tuple[type, ...] = (
    StartJob,
    StopJob,
    StartDispatcher,
    StartWorker,
    SourceJoined,
    SourceLost,
    JobClosed,
    ProbeSource,
    SourceProbed,
    SourceFailed,
    LeaseGranted,
    LeaseExtended,
    LeaseTrimmed,
    LeaseRevoked,
    LeaseFinished,
    LeaseReleased,
    TransferProgressed,
    TransferEnded,
    SourceMeasured,
    SourceSlowed,
    SourceStalled,
    CapRate,
    MonitorJob,
    ContinueTransfer,
    OpenPartFile,
    ChunksVerified,
    SourceChanged,
    PartFileReady,
    PartFileRefused,
    ValidatorSeen,
    SlotFilled,
    SlotFreed,
    ChunksStored,
    ChunksRepeated,
    ChunkDisputed,
    SlotSpoiled,
    DiskFailed,
    SizeLearned,
    SealFile,
    FileSealed,
    SealRefused,
    ClosePartFile,
    PartFileClosed,
    CommitRecords,
    JobOpened,
    JobProgressed,
    SourceProgressed,
    ChunkMapDrawn,
    ChunkArrived,
    JobNoted,
    JobEnded,
    ProcessReady,
    ProcessLost,
    Ping,
    Pong,
    StopProcess,
    ActorDied,
    Ticked,
    DispatcherReady,
    WorkerReady,
    OfferSource,
    StartSearch,
    SearchHit,
    SearchEnded,
    EnqueueFile,
    DequeueFile,
    QueuePlaceChanged,
    EnqueueRefused,
    UploadOffered,
    AcceptUpload,
    DeclineUpload,
    ConnectionReady,
    ConnectionClosed,
    UploadFailed,
    SessionChanged,
    FileFinished,
    LoadPeerHistory,
    PeerHistoryLoaded,
    PeerDelivered,
    PeerFaulted,
    PeerStopped,
    ClaimSlots,
    SlotsGranted,
    PartFileReopened,
    PartFileRehashed,
    RequestAnswered,
    RequestRefused,
    CreateJob,
    PauseJob,
    ResumeJob,
    CancelJob,
    RetryJob,
    DeleteJob,
    HideEndedJobs,
    UpdateJob,
    AddSources,
    DropSource,
    ListJobs,
    GetJob,
    ExplainJob,
    GetTimeline,
    GetManifest,
    ListEvents,
    GetCounts,
    WatchEvents,
    EventOccurred,
    SetTotalLimit,
    ConfigureJobManager,
    LimitJob,
    LimitTotal,
    SourceDisabled,
    SourceFound,
    ListContributors,
    ContributorsListed,
    GetUser,
    UserDescribed,
    BrowseUser,
    FilesListed,
    ListPeers,
    ListStops,
    SetLogLevel,
    ConfigureGateway,
    SetBookmark,
    GetBookmark,
    HealthReported,
    ResendState,
    StopWorker,
    CancelSearch,
    RemovePartFile,
    PartFileRemoved,
    RestoreSourceCounts,
    SourcesExpected,
    LogIn,
    LogOut,
    BackgroundWorkEnded,
    TrimSlots,
    SourceNamed,
)
"""Tag = index. Append only."""
