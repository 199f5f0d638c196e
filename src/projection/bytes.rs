//! The bytes of a row's value: variable-length integers and length-prefixed texts, written and read by hand.
//!
//! Not serde's: a change of a shape that others own must not change what stands on disk without anybody's noticing.

use uuid::Uuid;

use super::rows::RowError;
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// Writes a value.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// LEB128: seven bits in each byte, lowest first.
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A signed number, folded so that small ones of either sign are short.
    pub(super) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn instant(&mut self, at: Instant) {
        self.signed(at.millis());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.raw(text.as_bytes());
    }

    pub(super) fn id(&mut self, id: ExecutionId) {
        self.raw(id.uuid().as_bytes());
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }
}

/// Reads a value that [`Writer`] wrote.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; errors name `what` they belong to.
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn damaged(&self, why: &str) -> RowError {
        RowError::Damaged { what: format!("{}: {why}", self.what) }
    }

    pub(super) fn raw(&mut self, count: usize) -> Result<&'a [u8], RowError> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| self.damaged("it ends early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.raw(N)?);
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RowError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, RowError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("a number does not end"))
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, RowError> {
        let value = self.number()?;
        T::try_from(value).map_err(|_out_of_range| self.damaged("a number is too large"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, RowError> {
        let value = self.number()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    pub(super) fn instant(&mut self) -> Result<Instant, RowError> {
        self.signed().map(Instant::from_millis)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RowError> {
        let length = self.small()?;
        let bytes = self.raw(length)?;
        std::str::from_utf8(bytes).map_err(|_invalid| self.damaged("a text is not UTF-8"))
    }

    pub(super) fn id(&mut self) -> Result<ExecutionId, RowError> {
        self.array().map(|bytes| ExecutionId::from_uuid(Uuid::from_bytes(bytes)))
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RowError>,
    ) -> Result<Option<T>, RowError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _other => Err(self.damaged("a mark is neither 0 nor 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_read_back() {
        let unsigned = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX, -86_400_000];
        let mut writer = Writer::default();
        unsigned.iter().for_each(|number| writer.number(*number));
        signed.iter().for_each(|number| writer.signed(*number));
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes, "test");
        for number in unsigned {
            assert_eq!(reader.number(), Ok(number));
        }
        for number in signed {
            assert_eq!(reader.signed(), Ok(number));
        }
        assert!(reader.is_done());
    }

    #[test]
    fn a_value_that_was_cut_is_an_error_and_no_panic() {
        let mut writer = Writer::default();
        writer.text("a text");
        let bytes = writer.finish();
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end], "test").text().is_err(), "cut at {end}");
        }
    }
}
