//! What every HTTP door shares: problems, credentials, client addresses, limits.
