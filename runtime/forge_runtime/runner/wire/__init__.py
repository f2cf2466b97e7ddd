"""The messages of build daemons, generated from the .proto file here.

    FORGE_GOLDEN=write pytest tests/runtime/runner/test_wire.py

writes them anew; without the variable the test holds them to the file.
"""
