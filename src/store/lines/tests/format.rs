//! The bytes on disk: what was written once must be readable for good.

use std::fs;

use super::*;

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("0000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let refused = LineStore::open(dir.path(), LinesOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("format version 2; this version reads 1"), "{refused}");
}
