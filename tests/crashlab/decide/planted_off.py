"""A program that promises everything for a power loss and never syncs, and one that does."""

from crashlab.gallery.controls.off_power_loss import Broken, Twin

workload, twin = Broken(), Twin()
