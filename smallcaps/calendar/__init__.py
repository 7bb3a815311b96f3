"""Room: trading time. Sessions, early closes and New York hours come from exchange_calendars' XNYS."""

from smallcaps.calendar.sessions import is_session, session_number, sessions_between

__all__ = ["is_session", "session_number", "sessions_between"]
