"""A program that acks before it commits, and one that does not."""

from crashlab.decide.planted import Planted
from crashlab.gallery.controls.ack_before_commit import Broken, Twin

workload, twin = Broken(), Twin()
PLANTED = (Planted("early", "acks early", "b", "durability", "acked-row-lost", __name__),)
