/* Event of events.k8s.io: the newer form of core's. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field events_v1_event_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	MICRO_TIME("eventTime", 2, DOC("When it happened first.")),
	OBJ("series", 3, events_v1_event_series, DOC("How often and until when it happened.")),
	STRING("reportingController", 4, DOC("Who tells it.")),
	STRING("reportingInstance", 5, DOC("Which instance of who tells it.")),
	STRING("action", 6, DOC("What was done, in one word.")),
	STRING("reason", 7, DOC("Why it was done, in one word.")),
	OBJ("regarding", 8, core_v1_object_reference, DOC("What the event is about.")),
	OBJ("related", 9, core_v1_object_reference, DOC("Another object that took part.")),
	STRING("note", 10, DOC("What happened, for people.")),
	STRING("type", 11, DOC("Normal or Warning.")),
	OBJ("deprecatedSource", 12, core_v1_event_source, DOC("Core's source.")),
	TIME("deprecatedFirstTimestamp", 13, DOC("Core's firstTimestamp.")),
	TIME("deprecatedLastTimestamp", 14, DOC("Core's lastTimestamp.")),
	INT32("deprecatedCount", 15, DOC("Core's count.")),
	FIELD_END,
};
TYPE(events_v1_event, "events.v1.Event", .doc = "Something that happened to an object.");

static const struct field events_v1_event_series_fields[] = {
	INT32("count", 1, REQUIRED),
	MICRO_TIME("lastObservedTime", 2, REQUIRED),
	FIELD_END,
};
TYPE(events_v1_event_series, "events.v1.EventSeries");
