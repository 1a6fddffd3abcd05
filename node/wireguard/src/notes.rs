//! What the user of a peer notes of its sessions: what both ends agreed on there ends with them.

/// Bits of the user's own meaning. Of the session that packets are sealed in, and of the one before, of which packets may
/// still come.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    present: Option<Noted>,
    former: Option<Noted>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    session: u32,
    bits: u8,
}

impl Notes {
    /// Packets are sealed in that session from now on: nothing is noted of it.
    pub(crate) fn enter(&mut self, session: u32) {
        self.former = self.present.replace(Noted { session, bits: 0 });
    }

    /// No session is left, and their indices may come again.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// Notes it of that session, if packets are sealed in it.
    pub(crate) fn note(&mut self, session: u32, bits: u8) {
        if let Some(present) = self.present.as_mut().filter(|present| present.session == session) {
            present.bits |= bits;
        }
    }

    pub(crate) fn of(&self, session: u32) -> u8 {
        let noted = [self.present, self.former].into_iter().flatten();
        noted.filter(|noted| noted.session == session).map(|noted| noted.bits).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_next_session_nothing_is_noted_and_the_former_one_is_remembered() {
        let mut notes = Notes::default();
        notes.enter(7);
        notes.note(7, 1);
        notes.note(7, 2);
        notes.enter(8);
        assert_eq!((notes.of(8), notes.of(7)), (0, 3));
        // Late news of the former one.
        notes.note(7, 4);
        assert_eq!((notes.of(8), notes.of(7)), (0, 3));
        notes.enter(9);
        assert_eq!((notes.of(8), notes.of(7)), (0, 0));
    }

    #[test]
    fn a_session_that_has_the_index_of_another_is_not_that_one() {
        let mut notes = Notes::default();
        notes.enter(7);
        notes.note(7, 1);
        notes.enter(7);
        assert_eq!(notes.of(7), 0);
        notes.note(7, 1);
        notes.end();
        assert_eq!(notes.of(7), 0);
        notes.note(7, 1);
        assert_eq!(notes.of(7), 0);
    }
}
