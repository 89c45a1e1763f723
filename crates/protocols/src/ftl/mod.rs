//! FTL: the control connection and the media beside it.
