// The log viewer.
