"""Speed and memory beside other libraries, each side in a process of its own."""
