"""A separate world: Alpaca's behaviour on this machine.

`Exchange` is the whole of it: synchronous, single-threaded, and moved through time by its caller.
`server` puts it behind Alpaca's HTTP paths and websockets; `local` starts, finds and stops that server
for a data directory. This room shares no code with the trader but `clock` and `errors`: an examiner must
not copy the pupil.
"""
