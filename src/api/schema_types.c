/* Types that need no table of their own. */
#include "api/field.h"

const struct schema schema_any = {.type = SCHEMA_ANY};
const struct schema schema_string = {.type = SCHEMA_STRING};
const struct schema schema_bool = {.type = SCHEMA_BOOL};
const struct schema schema_int = {.type = SCHEMA_INT64}; /* int of Go: CRDs name no format for it */
const struct schema schema_int32 = {.type = SCHEMA_INT32};
const struct schema schema_int64 = {.type = SCHEMA_INT64};
const struct schema schema_double = {.type = SCHEMA_DOUBLE};
const struct schema schema_int_or_string = {.type = SCHEMA_INT_OR_STRING};
const struct schema schema_quantity = {.type = SCHEMA_QUANTITY};
const struct schema schema_time = {.type = SCHEMA_TIME};
const struct schema schema_micro_time = {.type = SCHEMA_MICROTIME};
const struct schema schema_duration = {.type = SCHEMA_DURATION};
const struct schema schema_bytes = {.type = SCHEMA_BYTES};
const struct schema schema_string_list = {.type = SCHEMA_LIST, .items = &schema_string};
const struct schema schema_string_map = {.type = SCHEMA_MAP, .items = &schema_string};
const struct schema schema_int_map = {.type = SCHEMA_MAP, .items = &schema_int};
const struct schema schema_int32_map = {.type = SCHEMA_MAP, .items = &schema_int32};
const struct schema schema_quantity_map = {.type = SCHEMA_MAP, .items = &schema_quantity};
const struct schema schema_free_object = {.type = SCHEMA_OBJECT, .preserve_unknown = true};
