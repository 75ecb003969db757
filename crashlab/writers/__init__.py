"""Making programs run and die: real processes, real signals, real terminals."""
