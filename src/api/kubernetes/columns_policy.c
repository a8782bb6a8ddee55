/* Columns of roles, bindings, disruption budgets, priorities and webhooks. */
#include "api/kubernetes/columns.h"

#include <string.h>

#include "base/strbuf.h"
#include "json/json.h"

#define CELL_MAX 4096

RENDER_STRING(role_created, "metadata.creationTimestamp", "")

const struct column role_columns[] = {
	COLUMN_NAME,
	COLUMN("Created At", "date", role_created, "When the object was created."),
	COLUMN_END,
};

RENDER(binding_role)
{
	(void)now;
	return json_sprintf("%s/%s", json_str(obj, "roleRef.kind", ""), json_str(obj, "roleRef.name", ""));
}

/** Names of the subjects of @kind. */
static json_t *subjects(const json_t *obj, const char *kind)
{
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(obj, "subjects"), i, s) {
		const char *ns = json_str(s, "namespace", "");
		if (strcmp(json_str(s, "kind", ""), kind) != 0)
			continue;
		strbuf_addf(&b, "%s%s%s%s", b.n == 0 ? "" : ", ", ns, ns[0] != '\0' ? "/" : "",
			    json_str(s, "name", ""));
	}
	return cell_take(&b, "");
}

RENDER(binding_users)
{
	(void)now;
	return subjects(obj, "User");
}

RENDER(binding_groups)
{
	(void)now;
	return subjects(obj, "Group");
}

RENDER(binding_accounts)
{
	(void)now;
	return subjects(obj, "ServiceAccount");
}

const struct column role_binding_columns[] = {
	COLUMN_NAME,
	COLUMN("Role", "string", binding_role, "The role that is given."),
	COLUMN_AGE,
	WIDE("Users", "string", binding_users, "Users who have it."),
	WIDE("Groups", "string", binding_groups, "Groups that have it."),
	WIDE("ServiceAccounts", "string", binding_accounts, "Service accounts that have it."),
	COLUMN_END,
};

static json_t *number_or_percent(const json_t *obj, const char *path)
{
	json_t *v = json_at(obj, path);
	if (json_is_integer(v))
		return json_sprintf("%lld", (long long)json_integer_value(v));
	return json_string(json_is_string(v) ? json_string_value(v) : "N/A");
}

RENDER(budget_min)
{
	(void)now;
	return number_or_percent(obj, "spec.minAvailable");
}

RENDER(budget_max)
{
	(void)now;
	return number_or_percent(obj, "spec.maxUnavailable");
}

RENDER_INT(budget_allowed, "status.disruptionsAllowed")

const struct column pod_disruption_budget_columns[] = {
	COLUMN_NAME,
	COLUMN("Min Available", "string", budget_min, "Pods that must stay."),
	COLUMN("Max Unavailable", "string", budget_max, "Pods that may be missing."),
	COLUMN("Allowed Disruptions", "integer", budget_allowed, "Pods that may be evicted now."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER_INT(priority_value, "value")
RENDER_STRING(priority_preemption, "preemptionPolicy", "")

RENDER(priority_default)
{
	(void)now;
	return json_boolean(json_bool(obj, "globalDefault", false));
}

const struct column priority_class_columns[] = {
	COLUMN_NAME,
	COLUMN("Value", "integer", priority_value, "The priority."),
	COLUMN("Global-Default", "boolean", priority_default, "Whether pods without a class have this one."),
	COLUMN_AGE,
	COLUMN("PreemptionPolicy", "string", priority_preemption, "Whether pods of lower priority make room."),
	COLUMN_END,
};

RENDER(webhook_count)
{
	(void)now;
	return json_integer((json_int_t)json_array_size(json_object_get(obj, "webhooks")));
}

const struct column webhook_configuration_columns[] = {
	COLUMN_NAME,
	COLUMN("Webhooks", "integer", webhook_count, "How many webhooks there are."),
	COLUMN_AGE,
	COLUMN_END,
};
