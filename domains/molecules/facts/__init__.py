"""Facts to sentences of several languages (XAlign, Abhishek et al. 2022; XF2T, Singh et al.)."""
