"""What the attacks have in common: which of several attempts are told together, with what they have changed."""

import json

# A look at all that could be harmed takes several times as long as an attempt.
TOGETHER = 12


class Told:
    """Attempts whose changes are looked for together: what one has changed is told of all of them."""

    def __init__(self, changes, together=1):
        self.changes, self.together, self.waiting = changes, together, []

    def add(self, found):
        """One more attempt; the last of as many as are told together has them told."""
        self.waiting.append(found)
        if len(self.waiting) >= self.together:
            self.tell()

    def before_undoing(self):
        """What comes next would undo what those that wait have done, so that nobody would see it: they are told by themselves."""
        self.tell()

    def tell(self):
        """Tells those that wait, a line of JSON each."""
        if not self.waiting:
            return
        changes = self.changes()
        for found in self.waiting:
            print(json.dumps({**found, "changes": changes}), flush=True)
        self.waiting = []


def play(bed, group, together):
    """Plays a group of attempts; looks for changes after each, or after several."""
    bed.told = Told(bed.changes, TOGETHER if together else 1)
    group(bed)
    bed.told.tell()
