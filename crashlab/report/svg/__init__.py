"""The drawings of the page, as inline SVG.

Not plotly, for three reasons: without JavaScript it shows nothing at all; its 4.8 MB would be most of what a page may
weigh; and what a drawing needs here (light and dark, print, the keyboard) comes with SVG and CSS. Every drawing has a
table beside it that says the same.
"""
