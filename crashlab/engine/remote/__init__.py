"""Trials in other processes and on other machines: plain bytes there, plain bytes back."""
