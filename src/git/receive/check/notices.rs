//! What a pusher is told of objects that are taken all the same.
//!
//! Source: `git index-pack --strict`, whose words for it are `warning: object <id>: <fault>: <text>`.
//! Bounds: [`Notices::MAX`] are kept, the rest is counted.

use super::Problem;

/// Faults that refused nothing, in the order in which they were found.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    told: Vec<Problem>,
    left_out: u64,
}

impl Notices {
    /// Most that are told one by one.
    pub const MAX: usize = 100;

    pub(super) fn add(&mut self, problem: Problem) {
        if self.told.len() < Self::MAX {
            self.told.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// One line each, with its end, and one more that says how many are missing.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let all = self
            .told
            .iter()
            .map(|problem| format!("warning: {problem}\n"));
        let rest = (self.left_out > 0)
            .then(|| format!("warning: {} more like these were left out\n", self.left_out));
        all.chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use gix_hash::ObjectId;

    use super::*;
    use crate::git::receive::Message;

    fn lines_for(count: usize) -> Vec<String> {
        let mut notices = Notices::default();
        for _ in 0..count {
            notices.add(Problem {
                id: ObjectId::null(gix_hash::Kind::Sha1),
                message: Message::BadFilemode,
                text: "contains bad file modes".to_owned(),
            });
        }
        notices.lines().collect()
    }

    #[test]
    fn so_many_are_told_and_the_rest_is_counted() {
        let null = "0".repeat(40);
        let one = format!("warning: object {null}: badFilemode: contains bad file modes\n");
        assert_eq!(lines_for(0), [""; 0]);
        for count in [1, Notices::MAX] {
            assert_eq!(lines_for(count), vec![one.clone(); count]);
        }
        let more = lines_for(Notices::MAX + 2);
        assert_eq!(more.len(), Notices::MAX + 1);
        assert_eq!(
            more[Notices::MAX],
            "warning: 2 more like these were left out\n"
        );
    }
}
