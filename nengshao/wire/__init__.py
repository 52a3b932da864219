"""The public contract with field devices: topics, payloads, receipts. See docs/wire.md.

Topics are `nhjc/v1/{enterprise}/{device}/{leaf}`; a `data` payload carries the eight fields of the
national upload. Decoding never raises for what a device sent: it returns columns, and rejections with
the message, the position in `data[]` and the reason.
"""

from nengshao.wire.columns import RAW_SCHEMA, Rejection, instants
from nengshao.wire.contract import (
    COMMAND,
    DATA,
    RECEIPT,
    ROOT,
    STATUS,
    CompactMessage,
    DataMessage,
    Form,
    Item,
    ItemColumns,
    Message,
    MessageReceipt,
    Receipt,
    RejectedItem,
    State,
    StatusMessage,
    Topic,
    decode_receipt,
    decode_status,
    encode_message,
    encode_receipt,
    encode_status,
    json_schemas,
    parse_topic,
    payload_digest,
)
from nengshao.wire.decoding import Decoded, Limits, decode, device_named
from nengshao.wire.packing import plain_size

__all__ = [
    "COMMAND",
    "DATA",
    "RAW_SCHEMA",
    "RECEIPT",
    "ROOT",
    "STATUS",
    "CompactMessage",
    "DataMessage",
    "Decoded",
    "Form",
    "Item",
    "ItemColumns",
    "Limits",
    "Message",
    "MessageReceipt",
    "Receipt",
    "RejectedItem",
    "Rejection",
    "State",
    "StatusMessage",
    "Topic",
    "decode",
    "decode_receipt",
    "decode_status",
    "device_named",
    "encode_message",
    "encode_receipt",
    "encode_status",
    "instants",
    "json_schemas",
    "parse_topic",
    "payload_digest",
    "plain_size",
]
