complete --keep-order --exclusive --command zfsync --arguments "(ZFSYNC_COMPLETE=fish zfsync -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
