"""A planted bug whose twin has it too."""

from crashlab.gallery.controls.ack_before_commit import Broken

workload, twin = Broken(), Broken()
