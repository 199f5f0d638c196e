//! Placeholder.
/// Zone.
#[derive(Clone, Debug)]
pub struct Zone(String);
/// Error.
#[derive(Debug, thiserror::Error)]
#[error("no zone")]
pub struct ZoneError;
impl Zone {
    /// Load.
    pub fn load(name: &str) -> Result<Self, ZoneError> {
        if name.is_empty() { Err(ZoneError) } else { Ok(Self(name.to_owned())) }
    }
    /// Name.
    pub fn name(&self) -> &str {
        &self.0
    }
}
/// Zone data.
#[derive(Clone, Debug)]
pub struct ZoneData {
    /// 2026b
    pub version: String,
    /// From.
    pub source: String,
}
/// Zone data.
pub fn zone_data() -> ZoneData {
    ZoneData { version: "2026b".to_owned(), source: "placeholder".to_owned() }
}
