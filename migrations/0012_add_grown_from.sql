-- A topic that has grown goes on as the same log under another partition count. grown_from holds, for each partition of the life
-- before, where the log ended when the new life was registered: what stands before may lie where either count put it. NULL: the
-- life began with an empty log, or one that nobody knew.
ALTER TABLE log_epoch ADD COLUMN grown_from bigint[];
