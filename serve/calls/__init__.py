"""Calls of stages from replica to replica, whole answers: over TCP connections of our own, beside Ray Serve's way."""
