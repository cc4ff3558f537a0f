"""Base class of all messages."""

from protocol.model.value import Value


class Message(Value):
    """One message. A subclass is declared once, in the module of its family, and names its number on the wire.

    ``class SlotFreed(Message, tag=31)``: no two have the same `tag`, and one that was used is not used again. Its frame
    is the array ``(tag, *fields)``, see `protocol.messages.codec`. The actor that gets it lists it in its inbox, the
    union that stands above its ``match``.
    """


class Request(Message):
    """A message that is answered: `request` is the sender's number and comes back, `reply_to` gets the answer.

    Without them it is a template that the API's gateway completes.
    """

    request: int = 0
    reply_to: str = ""
