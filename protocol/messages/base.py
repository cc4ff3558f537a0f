"""Base class of all messages."""

from protocol.model.value import Value


class Message(Value):
    """One message. A subclass is declared once, in the module of its family, and names its number on the wire.

    ``class SlotFreed(Message, tag=31)``: no two have the same `tag`, and one that was used is not used again. Its frame
    is the array ``(tag, *fields)``, see `protocol.messages.codec`. The actor that gets it lists it in its inbox, the
    union that stands above its ``match``.
    """
