//! From a story that fails to a short one that still does.

use super::story::Story;

/// Stories tried at most.
const TRIES: usize = 600;

/// Leaves out steps and schedules as long as `fails` says that the rest still fails.
pub(super) fn shrink(story: Story, mut fails: impl FnMut(&Story) -> bool) -> Story {
    let (mut smallest, mut tries) = (story, 0);
    let mut still = |story: &Story| {
        tries += 1;
        tries <= TRIES && fails(story)
    };
    loop {
        let before = (smallest.steps.len(), schedules(&smallest));
        let mut length = smallest.steps.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < smallest.steps.len() {
                let mut shorter = smallest.clone();
                shorter.steps.drain(at..(at + length).min(smallest.steps.len()));
                if still(&shorter) {
                    smallest = shorter;
                } else {
                    at += length;
                }
            }
            length /= 2;
        }
        let all: Vec<_> =
            smallest.files.values().flat_map(|file| file.schedules.keys().cloned()).collect();
        for id in all {
            let fewer = smallest.without(&id);
            if still(&fewer) {
                smallest = fewer;
            }
        }
        if before == (smallest.steps.len(), schedules(&smallest)) {
            return smallest;
        }
    }
}

fn schedules(story: &Story) -> usize {
    story.files.values().map(|file| file.schedules.len()).sum()
}
