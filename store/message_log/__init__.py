"""The agent's memory: sessions and messages with full-text search in one SQLite file."""

from store.message_log.agreement import Disagreement, fts_disagreements
from store.message_log.log import MessageLog
from store.message_log.records import ROLES, ChatSession, Hit, Message

__all__ = ["ROLES", "ChatSession", "Disagreement", "Hit", "Message", "MessageLog", "fts_disagreements"]
