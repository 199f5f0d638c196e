//! The API over real sockets.

mod access;
mod commands;
mod logs;
mod reading;
mod sockets;
