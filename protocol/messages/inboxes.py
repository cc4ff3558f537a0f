"""One closed union for each inbox, so that `match` can be checked to be exhaustive."""

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

PoolInbox = (
    StartJob
    | RestoreSourceCounts
    | OfferSource
    | StopJob
    | JobClosed
    | DispatcherReady
    | WorkerReady
    | ProcessLost
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
    | PeerHistoryLoaded
    | ProcessReady
    | SourceDisabled
    | LimitJob
    | ContributorsListed
    | JobEnded
    | Ticked
)
DispatcherInbox = (
    SourceJoined
    | SourceLost
    | StopJob
    | SourceProbed
    | SourceFailed
    | LeaseFinished
    | LeaseReleased
    | SourceMeasured
    | SourceSlowed
    | SourceStalled
    | ChunksVerified
    | SourceChanged
    | PartFileReady
    | PartFileRehashed
    | PartFileRefused
    | ChunksStored
    | ChunksRepeated
    | ChunkDisputed
    | SlotSpoiled
    | DiskFailed
    | FileSealed
    | SealRefused
    | PartFileClosed
    | UploadOffered
    | QueuePlaceChanged
    | EnqueueRefused
    | UploadFailed
    | SessionChanged
    | ProcessReady
    | ResendState
    | SourceNamed
    | SourcesExpected
    | SourceDisabled
    | LimitJob
    | ListContributors
    | Ticked
)
WorkerInbox = (
    ProbeSource
    | LeaseGranted
    | LeaseExtended
    | LeaseTrimmed
    | LeaseRevoked
    | CapRate
    | ContinueTransfer
    | ConnectionReady
    | JobClosed
)
ShelfInbox = SlotFreed | SlotsGranted | ClaimSlots | PartFileReopened | TrimSlots
PeerHistoryInbox = LoadPeerHistory | PeerDelivered | PeerFaulted | PeerStopped | ListPeers | ListStops
WatchdogInbox = MonitorJob | LimitTotal | TransferProgressed | TransferEnded | JobClosed | Ticked
AssemblerInbox = (
    OpenPartFile
    | ValidatorSeen
    | SlotFilled
    | ClaimSlots
    | SizeLearned
    | SealFile
    | ClosePartFile
    | JobClosed
    | CommitRecords
    | BackgroundWorkEnded
    | RemovePartFile
)
SessionInbox = (
    StartSearch
    | CancelSearch
    | GetUser
    | BrowseUser
    | EnqueueFile
    | DequeueFile
    | AcceptUpload
    | DeclineUpload
    | ConnectionClosed
    | FileFinished
    | LogIn
    | LogOut
    | JobClosed
    | Ticked
)
RootInbox = StartDispatcher | StartWorker | StopWorker | JobClosed | Ping | StopProcess | ActorDied | SetLogLevel
FrontInbox = (
    JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | ChunkArrived
    | JobNoted
    | JobEnded
    | SourceFound
    | ContributorsListed
    | ProcessReady
    | ProcessLost
    | Pong
    | ActorDied
    | SearchHit
    | SearchEnded
    | SessionChanged
)
JobManagerInbox = (
    SetBookmark
    | GetBookmark
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
    | GetBookmark
    | SetBookmark
    | WatchEvents
    | SetTotalLimit
    | ConfigureJobManager
    | SourceFound
    | ContributorsListed
    | JobOpened
    | JobProgressed
    | SourceProgressed
    | ChunkMapDrawn
    | JobNoted
    | JobEnded
    | ProcessLost
    | ProcessReady
    | SessionChanged
    | PartFileRemoved
    | CommitRecords
    | Ticked
)
DeskInbox = (
    HealthReported
    | RequestAnswered
    | RequestRefused
    | EventOccurred
    | ContributorsListed
    | SearchHit
    | SearchEnded
    | UserDescribed
    | FilesListed
    | SessionChanged
    | ProcessLost
    | ProcessReady
    | ConfigureGateway
)
