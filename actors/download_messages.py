"""Messages that each download has, made ready to be decoded: the forkserver does it once for all its children.

Another one is made ready when it comes first, so this list is only a matter of time: 10 ms, in a download of 250.
"""

from protocol import messages
from protocol.messages.codec import prepare

prepare(
    (
        messages.BackgroundWorkEnded,
        messages.ChunksStored,
        messages.ContinueTransfer,
        messages.ContributorsListed,
        messages.DispatcherReady,
        messages.FileSealed,
        messages.JobClosed,
        messages.JobEnded,
        messages.LeaseFinished,
        messages.LeaseGranted,
        messages.LeaseRevoked,
        messages.MonitorJob,
        messages.OfferSource,
        messages.OpenPartFile,
        messages.PartFileReady,
        messages.ProbeSource,
        messages.SealFile,
        messages.SlotFilled,
        messages.SlotFreed,
        messages.SourceJoined,
        messages.SourceNamed,
        messages.SourceProbed,
        messages.StartDispatcher,
        messages.StartJob,
        messages.StartWorker,
        messages.StopProcess,
        messages.Ticked,
        messages.TransferEnded,
        messages.TransferProgressed,
        messages.ValidatorSeen,
        messages.WorkerReady,
    )
)
