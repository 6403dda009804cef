"""Telegram ids never reach the database's lasting records: a keyed hash stands for a user."""

import hashlib
import hmac


def user_key(key: bytes, telegram_id: int) -> str:
    """HMAC-SHA256 of a Telegram user id, as 64 hexadecimal digits.

    Keyed, because ids are short numbers: an unkeyed hash is undone by trying them all.
    """
    return hmac.new(key, b"telegram-user:%d" % telegram_id, hashlib.sha256).hexdigest()
