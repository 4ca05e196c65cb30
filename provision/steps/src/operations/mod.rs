//! The verbs users know, one file each. Each takes the machine's lock for as long as it changes anything.
