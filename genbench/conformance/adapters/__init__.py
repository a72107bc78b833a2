"""Other libraries on the bench, one a file.

`FUNCTIONS` maps a metric to a function of `real=` and `fake=` (and of the arguments that the library can be given);
`KNOWN` maps a pitfall's word to what is known of the library. Features arrive as the library's own pipeline would hand
them on: in float32 from those that keep a network's output as it is.
"""
