"""What SQLite would make of a crash state, computed: the image of the recovered database, page by page.

States with the same image have the same content, so real SQLite reads one of each image, and more as a check. This
covers what the classes do not: `synchronous=OFF`, rollback journals, several databases, torn side files.

- `slots`: the bytes of one page, frame or file in many states at once.
- `sources`: what is there in the states of a batch: of a power loss, of a kill.
- `chain`: the WAL, frame by frame.
- `images`: the image.
"""

from crashlab.states.images.images import Images

__all__ = ["Images"]
