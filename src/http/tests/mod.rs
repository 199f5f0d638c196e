//! The API over real sockets.

mod access;
mod commands;
mod document;
mod exports;
mod logs;
mod reading;
mod sockets;
