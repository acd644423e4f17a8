//! A reader that holds `pending.md` open for ever.
