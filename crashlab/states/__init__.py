"""From recorded I/O to crash states: counted, generated, classed, materialised, recovered."""
