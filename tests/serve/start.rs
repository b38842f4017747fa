//! Starting and stopping.
