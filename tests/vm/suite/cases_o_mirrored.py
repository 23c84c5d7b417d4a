"""What a push can do, a pull can: cases of pushes with their sides exchanged (row PULL)."""

import cases_a_first
import cases_b_increments
import cases_c_transfer
import cases_f_resume
import cases_g_conflicts
import cases_h_bookmarks
import cases_h_proof
import cases_s_skip
import cases_t_mirror
import cases_u_encryption
import cases_w_dry_run
import cases_y_missing
import cases_y_success
import cases_z_back
from pull import mirror

mirror(cases_a_first, "flat_simple", "recursive", "recursive_with_volume", "empty_target_exists", "parallel", "pool_root", "creates_parents",
       "no_snapshot_no_parents", "nested_volume", "nothing_todo", "top_without_snapshots", "placeholder_gets_snapshots", "names_with_blanks",
       "target_with_blanks", "odd_property_values", "one_by_one", "one_bad_dataset", "dates_in_names_disagree", "preseeded", "growing_tree",
       "volume_child", "type_clash")
mirror(cases_b_increments, "bookmark_with_intermediates", "bookmark_newest_only", "bookmark_one_step", "base_deleted", "base_renamed",
       "base_renamed_with_bookmark", "renamed_on_the_target", "bookmark_outlives_all_snapshots", "common_snapshot_destroyed",
       "same_name_other_guid", "diverged", "minimal_steps", "newest_gone_on_the_target", "newest_only", "missing_common", "taken_over",
       "holds_and_bookmarks", "target_changed", "target_written", "target_snapshots_without_changes", "target_snapshots_all_destroyed",
       "target_with_data", "target_with_children_only")
mirror(cases_c_transfer, "contents", "safe_target", "volumes", "volumes_without_device_nodes", "without_snapshots_in_the_middle",
       "many_snapshots", "longest_names", "json_order", "large_blocks", "encrypted_raw", "decrypt", "depth", "globs", "dry_run", "last_line")
mirror(cases_f_resume, "every_kind", "raw_or_not", "useless_rests", "rest_between", "nothing_to_send")
mirror(cases_g_conflicts, "rollback", "rollback_of_a_written_target", "rollback_refused", "rollback_with_a_rest", "replace", "set_aside",
       "clashes_set_aside", "readonly_stays", "below_no_copy", "pool_root", "compatible_snapshots_stay", "encryption_clashes")
mirror(cases_h_bookmarks, "chain_holds", "names_and_strangers", "no_bookmark")
mirror(cases_h_proof, "went_back_by_a_receive", "nothing_went_back")
mirror(cases_s_skip, "first_and_bookmark", "with_conflicts", "after_a_cut")
mirror(cases_t_mirror, "told_and_kept", "snapshots_go", "grace", "renames_without_bookmarks", "of_another_source")
mirror(cases_u_encryption, "key_not_loaded", "target_is_an_encryption_root", "raw_into_an_empty_filesystem", "decrypted_on_a_raw_copy",
       "nothing_raw_in_common", "own_snapshot_on_a_raw_copy", "raw_on_a_plain_copy", "plain_below_a_raw_copy",
       "plain_allowed_below_a_raw_copy", "key_of_another_dataset", "keys_as_zfs_send_leaves_them",
       "nothing_is_given_up_for_what_cannot_be_sent")
mirror(cases_w_dry_run, "without_flags", "just_written", "rollback", "held_and_cloned", "replace", "set_aside", "delete_missing",
       "key_not_loaded", "encryption_that_does_not_fit", "own_snapshot_on_a_raw_copy", "target_is_an_encryption_root",
       "replace_with_something_below")
mirror(cases_y_missing, "not_in_sync", "no_room_for_the_new_copy", "max_delete")
mirror(cases_y_success, "names_too_long", "a_useless_rest_at_the_target", "large_blocks_split")
mirror(cases_z_back, "verify_content", "verify_without_keys")
