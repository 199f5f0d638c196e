use super::*;
use std::sync::Arc;
use crate::domain::class::Source;
fn none() -> Classifier { Classifier::new(&[]).unwrap() }
#[test]
fn smoke() {
    let c = none();
    assert_eq!(classify_one(&c, "x: Connection refused").0, Some(Class::External));
    let mut s = Session::new(Arc::new(none()));
    assert_eq!(s.judge(1, Source::Stdout, "hello").class, None);
}
