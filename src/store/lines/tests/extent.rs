//! Which bytes count at one moment.

use super::*;

#[tokio::test]
async fn an_extent_stands_until_something_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) = open_small(dir.path());
    let none = store.extent().expect("looks");
    assert_eq!((none.files.len(), none.files[0].seal_at), (1, None));
    assert!(store.stands_at(&none), "nothing was ever written");
    assert!(!store.stands_at(&LinesExtent::default()), "no extent at all is none of this store");

    let mut writer = store.writer(execution(1));
    writer.push(info("one"));
    assert!(writer.finish().await.is_ok());
    assert!(!store.stands_at(&none));
    let one = store.extent().expect("looks");
    assert!(store.stands_at(&one));
    assert!(one.files[0].bytes > none.files[0].bytes);

    // Until a segment is sealed: then there is one file more.
    for n in 2..30 {
        let mut writer = store.writer(execution(n));
        writer.push(info("more"));
        assert!(writer.finish().await.is_ok());
    }
    let more = store.extent().expect("looks");
    assert!(more.files.len() > 1 && more.files[0].seal_at.is_some());
    assert!(store.stands_at(&more) && !store.stands_at(&one));
    // What was taken before is there as it was.
    let mut seen = 0;
    one.for_each(&mut |piece| {
        seen += usize::from(matches!(piece, LinePiece::Chunk(_)));
        std::ops::ControlFlow::Continue(())
    })
    .expect("readable");
    assert_eq!(seen, 1);
}
