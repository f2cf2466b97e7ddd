# Makes one file of tool and module: the module's text goes where the tool loads it.
/^use RelNotes;$/{
    r lib/RelNotes.pm
    d
}
