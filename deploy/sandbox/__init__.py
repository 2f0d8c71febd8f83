"""The video providers on this machine: their wire formats over real HTTPS, real videos, trouble on command.

Written from the providers' documents; imports nothing of Callsheet, so a
mistake of ours cannot hide in both. How to use it: `README.md` beside this file.
"""
