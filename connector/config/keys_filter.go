package config

import "github.com/waltap/waltap/schema"

// filterKeys choose cells by their bytes, see docs/filters.md.
var filterKeys = []Key{
	{
		Name: "row.include.list", Scope: InSource, Type: List, Example: `prefix:user\x00, shop:.*=exact:\x00\x01`,
		Doc: "Rows to capture, by scan and stream: anywhere:BYTES, prefix:BYTES, postfix:BYTES or exact:BYTES, BYTES written as in row.start (a comma as \\x2c). namespace:table= before an entry, a name or an expression as in table.include.list, makes it one for those tables only. A table to which no entry applies is captured whole. It may not change later; docs/filters.md has all filters.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Rows.Include }),
	},
	{
		Name: "row.exclude.list", Scope: InSource, Type: List, Example: "postfix:-test",
		Doc: "Rows to leave out, also of those that row.include.list chooses, written in the same way. It may not change later.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Rows.Exclude }),
	},
	{
		Name: "qualifier.include.list", Scope: InSource, Type: List, Example: "prefix:price_, exact:id",
		Doc: "Qualifiers to capture, in whatever family, written as row.include.list. Delete markers of a whole family are captured with any qualifier. It may not change later.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Qualifiers.Include }),
	},
	{
		Name: "qualifier.exclude.list", Scope: InSource, Type: List, Example: "anywhere:secret",
		Doc: "Qualifiers to leave out, also of those that qualifier.include.list chooses, written as row.include.list. It may not change later.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Qualifiers.Exclude }),
	},
	{
		Name: "value.include.list", Scope: InSource, Type: List, Example: "prefix:EU",
		Doc: "Values to capture, written as row.include.list. Each cell is judged by itself: an update to a value that is left out leaves the older one at the target. Delete markers have no value and are always captured. It may not change later.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Values.Include }),
	},
	{
		Name: "value.exclude.list", Scope: InSource, Type: List, Example: "exact:none, shop:.*=prefix:tmp",
		Doc: "Values to leave out, also of those that value.include.list chooses, written as row.include.list. It may not change later.",
		set: into(parseBytePatterns, func(t *target) *[]schema.BytePattern { return &t.source.Scope.Values.Exclude }),
	},
	{
		Name: "cell.keys.only", Scope: InSource, Type: Boolean, Default: "false",
		Doc: "Capture cells without their values: row, column, timestamp, type and tags. It may not change later.",
		set: boolean(func(t *target) *bool { return &t.source.Scope.KeysOnly }),
	},
	{
		Name: "cell.ttl.drop", Scope: InSource, Type: Boolean, Default: "false",
		Doc: "Capture cells without their time to live (the tag), and tables without that of their families: what expires at the source stays at the target. It may not change later.",
		set: boolean(func(t *target) *bool { return &t.source.Scope.DropTTL }),
	},
}
