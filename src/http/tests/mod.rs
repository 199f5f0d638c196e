//! The API over real sockets.

mod access;
mod commands;
mod document;
mod logs;
mod reading;
mod sockets;
